"""How far a text stands out from its ground, in the browser."""

CONTRAST = """box => {
    const light = (color) => {
        const parts = color.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
        const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = box;
    while (/^(rgba\\(0, 0, 0, 0\\)|transparent)$/.test(getComputedStyle(behind).backgroundColor)) {
        behind = behind.parentElement;
    }
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const solid = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return `rgb(${[...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).join(",")})`;
    };
    const pair = [getComputedStyle(box).color, getComputedStyle(behind).backgroundColor].map(solid).map(light);
    const [dim, bright] = pair.sort((a, b) => a - b);
    return (bright + 0.05) / (dim + 0.05);
}"""
"""The contrast of a box as WCAG 2.2 defines it, 1 to 21."""
