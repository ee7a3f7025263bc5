from crawler.forecast import Forecast, seconds_needed


def test_stages_take_their_time_one_after_another_and_hosts_of_a_stage_in_parallel():
    forecasts = [
        Forecast("ratings", "collection", 100, 20),
        Forecast("ratings", "movie", 30, None),
        Forecast("frames", "photos", 10, 0),
        Forecast("frames", "picture", 200, 40),
    ]
    assert seconds_needed(forecasts, {"movie": 5, "images": 5}.get) == 5 * (100 + 20 + 30 + 240)


def test_nothing_to_read_takes_no_time():
    assert seconds_needed([], lambda host: 5) == 0


def test_each_host_has_its_own_pace():
    forecasts = [Forecast("ratings", "collection", 100, 0), Forecast("ratings", "movie_json", 90, 0)]
    assert seconds_needed(forecasts, {"movie": 6, "mobile": 7.5}.get) == 90 * 7.5
