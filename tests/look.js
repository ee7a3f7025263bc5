// What a browser sees of a report: charts, pictures, and labels that lie over each other.
async () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    const images = [...document.images], charts = [...document.querySelectorAll("svg")];
    await Promise.all(images.map((image) => { image.loading = "eager"; return image.decode().catch(() => 0); }));
    const isEmpty = (chart) =>
        chart.querySelectorAll("path, text").length < 5 || chart.getBoundingClientRect().height < 40;
    const labels = (chart) => [...chart.querySelectorAll("text")]
        .filter((text) => text.textContent.trim() && getComputedStyle(text).opacity !== "0")
        .map((text) => [text.textContent, text.getBoundingClientRect()]);
    const overlap = (a, b) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    const overlaps = (boxes) => boxes.flatMap(([one, a], n) =>
        boxes.slice(n + 1).filter(([, b]) => overlap(a, b)).map(([other]) => `${one} / ${other}`));
    return {
        charts: charts.length,
        emptyCharts: charts.filter(isEmpty).length,
        namelessCharts: charts.filter((chart) => !chart.getAttribute("aria-label")).length,
        images: images.length,
        brokenImages: images.filter((image) => !image.complete || image.naturalWidth === 0).length,
        namelessImages: images.filter((image) => !image.alt).length,
        overlaps: charts.flatMap((chart) => overlaps(labels(chart))),
    };
}
