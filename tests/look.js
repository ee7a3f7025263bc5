// What a browser sees of a report: charts, pictures, labels that lie over each other, and text that is cut off.
async () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    const images = [...document.images], charts = [...document.querySelectorAll("svg")];
    await Promise.all(images.map((image) => image.decode().catch(() => 0)));
    const isEmpty = (chart) =>
        chart.querySelectorAll("path, text").length < 5 || chart.getBoundingClientRect().height < 40;
    // A label's corners on the screen; turned labels have boxes that are larger than they are.
    const corners = (text) => {
        const box = text.getBBox(), to = text.getScreenCTM();
        return [[0, 0], [1, 0], [1, 1], [0, 1]]
            .map(([right, down]) => [box.x + right * box.width, box.y + down * box.height])
            .map(([x, y]) => [to.a * x + to.c * y + to.e, to.b * x + to.d * y + to.f]);
    };
    const labels = (chart) => [...chart.querySelectorAll("text")]
        .filter((text) => text.textContent.trim() && getComputedStyle(text).opacity !== "0")
        .map((text) => [text.textContent, corners(text)]);
    // Two labels overlap unless there is an axis, along or across one of them, on which they are apart.
    const axes = (label) => [[label[0], label[1], 2], [label[0], label[3], 3]].map(([[x, y], [u, v], most]) => {
        const length = Math.hypot(u - x, v - y) || 1;
        return [(u - x) / length, (v - y) / length, most];
    });
    const overlap = (a, b) => [...axes(a), ...axes(b)].every(([x, y, most]) => {
        const [one, other] = [a, b].map((label) => label.map(([u, v]) => u * x + v * y));
        return Math.min(Math.max(...one), Math.max(...other)) - Math.max(Math.min(...one), Math.min(...other)) > most;
    });
    const overlaps = (boxes) => boxes.flatMap(([one, a], n) =>
        boxes.slice(n + 1).filter(([, b]) => overlap(a, b)).map(([other]) => `${one} / ${other}`));
    const named = (element) => `${element.tagName.toLowerCase()}.${element.className} ${element.textContent.trim().slice(0, 40)}`;
    const shown = [...document.querySelectorAll("body *")].filter((element) => element.getClientRects().length);
    // Text that a box hides: it is wider or higher than the box, and the box neither scrolls nor lets it out.
    const clipped = shown.filter((element) => {
        const style = getComputedStyle(element);
        return element.textContent.trim() && (
            (["hidden", "clip"].includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1) ||
            (["hidden", "clip"].includes(style.overflowY) && element.scrollHeight > element.clientHeight + 1));
    });
    const outside = shown.filter((element) =>
        !element.closest(".scroll, .skip, svg") && element.getBoundingClientRect().right > innerWidth + 1);
    const labelsOutside = charts.flatMap(labels).filter(([, label]) => label.some(([x]) => x < -1 || x > innerWidth + 1));
    // A table that goes on to the right of the screen says so.
    const silent = [...document.querySelectorAll(".scroll")].filter((box) =>
        box.scrollWidth > box.clientWidth + 1 && !/gradient/.test(getComputedStyle(box).backgroundImage));
    return {
        charts: charts.length,
        emptyCharts: charts.filter(isEmpty).length,
        namelessCharts: charts.filter((chart) => !chart.getAttribute("aria-label")).length,
        images: images.length,
        brokenImages: images.filter((image) => !image.complete || image.naturalWidth === 0).length,
        lazyImages: images.filter((image) => image.loading === "lazy").length,
        namelessImages: images.filter((image) => !image.alt).length,
        overlaps: charts.flatMap((chart) => overlaps(labels(chart))),
        clipped: clipped.map(named),
        outside: [...outside.map(named), ...labelsOutside.map(([text]) => text)],
        silentTables: silent.map(named),
    };
}
