"""What keeps people from reading a page, naming what is on it, or pressing it (WCAG 2.2, AA)."""

from playwright.sync_api import Page
from served import wait_until

FAINT = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const over = ([r, g, b, a = 1], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
    const behind = (one) => {
        if (!one) return [255, 255, 255];
        const colour = parts(getComputedStyle(one).backgroundColor);
        return colour[3] === undefined ? colour : over(colour, behind(one.parentElement));
    };
    const linear = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = (c) => c.map(linear).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const faint = new Set();
    const look = (one, text, style) => {
        const below = behind(one);
        const both = [light(over(parts(style.color), below)), light(below)].sort((a, b) => b - a);
        const large = parseFloat(style.fontSize) >= 24;
        if ((both[0] + 0.05) / (both[1] + 0.05) < (large ? 3 : 4.5)) faint.add(text.trim());
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, one = text.parentElement;
        if (text.textContent.trim() && one.checkVisibility({ checkVisibilityCSS: true })) {
            look(one, text.textContent, getComputedStyle(one));
        }
    }
    for (const one of document.querySelectorAll("input[placeholder], textarea[placeholder]")) {
        if (!one.checkVisibility()) continue;
        look(one, one.placeholder, getComputedStyle(one, "::placeholder"));
    }
    return [...faint];
}"""
"""Texts in sight with less contrast than the guidelines for the web ask for."""

SKIPPED = """() => {
    const headings = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")];
    const levels = headings.filter((one) => one.checkVisibility()).map((one) => +one.tagName[1]);
    return levels.flatMap((level, i) => level > (levels[i - 1] ?? 0) + 1 ? [`h${level}`] : []);
}"""
"""Headings in sight that skip a level."""

MISNAMED = """() => {
    const plain = (text) => text.replace(/\\s+/g, " ").trim();
    const named = [...document.querySelectorAll("button[aria-label]:not([aria-labelledby])")];
    const other = named.filter((one) => one.checkVisibility() && one.innerText.trim() &&
        !plain(one.ariaLabel).includes(plain(one.innerText))).map((one) => one.ariaLabel);
    const nothing = document.querySelectorAll("div[aria-label]:not([role])");
    return [...other, ...[...nothing].map((one) => one.ariaLabel)];
}"""
"""Names that lack what is read on a button, and names of what has no role, which nobody hears."""

CROWDED = """() => {
    const seen = [...document.querySelectorAll("button")].filter((one) =>
        one.checkVisibility({ checkVisibilityCSS: true }) && !one.closest("[aria-hidden]"));
    const places = new Map(seen.map((one) => [one, one.getBoundingClientRect()]));
    const crowded = ([one, { x, y, width, height }]) => {
        if (Math.min(width, height) >= 24) return false;
        const away = (at, from, to) => Math.max(from - at, 0, at - to);
        const [across, down] = [x + width / 2, y + height / 2];
        return [...places].some(([other, { left, right, top, bottom }]) => other !== one &&
            Math.hypot(away(across, left, right), away(down, top, bottom)) < 12);
    };
    return [...places].filter(crowded).map(([one]) => one.ariaLabel || one.innerText);
}"""
"""Buttons in sight that are small, and so close to others that a hand misses them."""

AT_REST = """() => document.getAnimations().every(
    (one) => one.playState !== "running" || one.effect.getTiming().iterations === Infinity
)"""


def faults(page: Page) -> list[str]:
    """What is amiss with what is in sight."""
    wait_until(page, lambda: page.evaluate(AT_REST))
    return [one for looked in (FAINT, SKIPPED, MISNAMED, CROWDED) for one in page.evaluate(looked)]
