"""The last check before a request leaves: robots.txt allows its path, and its host has not refused us."""

from typing import Self, cast

from scrapy import Request
from scrapy.crawler import Crawler

from crawler.spiders.politeness import user_agent
from crawler.spiders.spider import NotSent, StageSpider


class HostRulesMiddleware:
    """A downloader middleware that stops requests which must not be sent."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Return the middleware of a crawl."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Let an allowed request pass.

        Raises:
            NotSent: the host has refused us (or another one, and there is no other source), or the host's robots.txt
                disallows the path.
        """
        spider = cast(StageSpider, self._crawler.spider)
        host = request.meta["download_slot"]
        if spider.pages.is_refused(host):
            raise NotSent("held back: the site refuses us")
        if not request.url.startswith(f"{spider.crawl.site.hosts[host]}/"):
            raise NotSent("an address on another host")
        if not spider.rules[host].allows(request.url, user_agent(spider.crawl.politeness.contact)):
            raise NotSent("robots.txt")
