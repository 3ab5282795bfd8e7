"""What was typed into a tab of the browser stays there when the page is loaded again.

Gradio itself loads the page again once a lost connection is back, such as that of a phone that was
locked, and tells no event of what is typed until then.
"""

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from pseudoword.ui.page.events import EACH, PRIVATE

KEEP = """(...values) => {
    if (!window.pseudowordRestored?.[%(key)s]) return;
    sessionStorage.setItem(%(key)s, JSON.stringify(values));
    const late = JSON.parse(sessionStorage.getItem("pseudoword-late") ?? "{}");
    for (const id of %(ids)s) delete late[id];
    sessionStorage.setItem("pseudoword-late", JSON.stringify(late));
}"""
"""Runs in the browser: keeps all values. `late` is what page.js has seen typed since."""

RESTORE = """(...now) => {
    const kept = JSON.parse(sessionStorage.getItem(%(key)s) ?? "[]");
    const late = JSON.parse(sessionStorage.getItem("pseudoword-late") ?? "{}");
    const ids = %(ids)s, first = %(first)s;
    const text = (value) => JSON.stringify(value ?? "");
    (window.pseudowordRestored ??= {})[%(key)s] = true;
    const same = { __type__: "update" };  // to set what is there would count as a change
    return now.map((value, i) => {
        if (text(value) !== text(first[i])) return same;
        const typed = late[ids[i]];
        if (typed !== undefined) return typeof first[i] === "number" ? Number(typed) : typed;
        const before = kept.length === now.length && text(kept[i]) !== text(value);
        return before ? kept[i] : same;
    });
}"""
"""Runs in the browser: gives back what was kept, where nothing was typed while the page loaded."""

KEEP_TAB = "() => window.pseudowordTab && sessionStorage.setItem('pseudoword-tab', '%s')"
RESTORE_TAB = """() => {
    const selected = sessionStorage.getItem("pseudoword-tab");
    window.pseudowordTab = true;
    return { __type__: "update", ...(selected && { selected }) };
}"""


def keep(opened: Any, key: str, controls: Mapping[str, Any]) -> Any:
    """Keep the values of controls.

    Args:
        opened: the event of a page that is opened.
        key: names them in the browser.
        controls: id in the page -> control.

    Returns:
        The event after which they are back.
    """
    all_ = list(controls.values())
    first = json.dumps([control.value for control in all_])
    told = {"key": json.dumps(f"pseudoword-{key}"), "ids": json.dumps([*controls]), "first": first}
    left = [one.blur for one in all_ if isinstance(one, gr.Textbox | gr.Number)]
    changed = [one.change for one in all_]
    gr.on([*left, *changed], None, all_, None, js=KEEP % told, **EACH, **PRIVATE)
    return opened(None, all_, all_, js=RESTORE % told, **PRIVATE)


def keep_tab(opened: Any, tabs: Any, each: Mapping[str, Any]) -> None:
    """Keep which tab is looked at.

    Args:
        opened: the event of a page that is opened.
        tabs: all of them.
        each: id -> tab.
    """
    for id_, tab in each.items():
        tab.select(None, None, None, js=KEEP_TAB % id_, **EACH, **PRIVATE)
    opened(None, None, tabs, js=RESTORE_TAB, **PRIVATE)
