#!/usr/bin/env python3
"""Does the HTML of `workbench doc --html` look and search well? In a headless Chromium without a network, from the folder:

- every page at 360, 768 and 1280 pixels, in dark too: nothing leaves the page, code and tables scroll in their own boxes;
- the search field finds what `workbench doc WORDS` finds, and is used by the keyboard alone;
- without scripts it leads to all names.

Needs Python 3.9, Chromium (apt install chromium), and the built program:

    cargo build --release
    python3 tools/check_docs.py [--keep FOLDER] [--chromium PROGRAM] [--program WORKBENCH]
"""

import argparse, base64, json, pathlib, shutil, subprocess, sys, tempfile

from check_run_folder import HERE, Browser

WAYS = [("wide", 1280, 900, "light"), ("dark", 1280, 900, "dark"), ("middle", 768, 900, "light"), ("narrow", 360, 740, "light"),
        ("narrow-dark", 360, 740, "dark")]
SHOWN = ["index.html", "guide_05_training.html", "training.html", "std_cascade.html", "names.html"]
QUERIES = ["clip", "ema", "cosine", "weight decay", "load pytorch", "learning rate", "early stopping", "freeze", "checkpoints",
           "certified radius", "misspelt words nearby", "weigth decay", "gradient clipping", "optimizers", "how do I save it", "conv"]

# What is wrong with the page, as a list of texts. Run in the page.
LOOK = """(() => {
  const wrong = [], page = document.documentElement, box = e => e.getBoundingClientRect();
  const name = e => e.tagName + ' "' + e.textContent.trim().slice(0, 40) + '"';
  if (page.scrollWidth > page.clientWidth) wrong.push(`the page is ${page.scrollWidth} wide on ${page.clientWidth}`);
  for (const e of document.querySelectorAll('body *')) {
    const style = getComputedStyle(e), outer = e.closest('pre, .wide');
    const scrolls = ['auto', 'scroll'].includes(style.overflowX);
    if (e.offsetParent === null || outer && outer !== e) continue;
    if (box(e).right > page.clientWidth + 1) wrong.push(name(e) + ' leaves the page');
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && !scrolls && e.tagName !== 'INPUT') wrong.push(name(e) + ' overflows');
  }
  return JSON.stringify({ wrong, height: page.scrollHeight });
})()"""


def evaluate(browser, expression):
    answer = browser.call("Runtime.evaluate", expression=expression, returnByValue=True)
    if "exceptionDetails" in answer:
        sys.exit(f"{expression}: {json.dumps(answer['exceptionDetails'])[:400]}")
    return answer["result"].get("value")


def go(browser, address):
    browser.events.clear()
    browser.call("Page.navigate", url=address)
    browser.wait("Page.loadEventFired")


def press(browser, *keys):
    codes = {"ArrowDown": 40, "ArrowUp": 38, "Enter": 13, "Escape": 27, "/": 191}
    for key in keys:
        text = {"Enter": "\r", "/": "/"}.get(key, "")
        for kind in ["keyDown", "keyUp"]:
            more = {"text": text} if kind == "keyDown" and text else {}
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **more)


def picture(browser, path, width, height):
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(shot["data"]))


def looks(browser, site, out):
    """Every page in every way; the faults that were found."""
    faults = []
    for name, width, height, scheme in WAYS:
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for page in sorted(site.glob("*.html")):
            go(browser, page.as_uri())
            found = json.loads(evaluate(browser, LOOK))
            faults += [f"{page.name}, {name}: {w}" for w in found["wrong"]]
            if page.name in SHOWN:
                picture(browser, out / f"{page.stem}-{name}.png", width, min(found["height"], 4000))
        go(browser, (site / "names.html").as_uri() + "?q=clip")
        found = json.loads(evaluate(browser, LOOK))
        faults += [f"search, {name}: {w}" for w in found["wrong"]]
        picture(browser, out / f"search-{name}.png", width, height)
    return faults


def searches(browser, site, program):
    """The field against the command; the faults that were found."""
    faults = []
    for query in QUERIES:
        go(browser, (site / "index.html").as_uri())
        titles = evaluate(browser, f"search({json.dumps(query)}).map(([title]) => title)")
        said = subprocess.run([program, "doc", *query.split()], capture_output=True, text=True, check=True).stdout
        lines = [line for line in said.splitlines() if line and not line.startswith((" ", "`")) and " more place" not in line]
        # Scripts have no page.
        wanted = [line for line in lines if not line.startswith("script ") and ": setting" not in line]
        if titles[:len(wanted)] != wanted:
            faults.append(f"{query}: the field finds {titles[:8]}, the command {wanted}")
    return faults


def keyboard(browser, site):
    """`/`, words, arrows, Enter; Escape. The faults that were found."""
    faults = []

    def expect(what, expression):
        if not evaluate(browser, expression):
            faults.append(f"keyboard: {what}")

    go(browser, (site / "index.html").as_uri())
    press(browser, "/")
    expect("`/` leads to the field", "document.activeElement.type === 'search' && document.activeElement.value === ''")
    browser.call("Input.insertText", text="clip")
    expect("the list is open", "!document.querySelector('#found').hidden")
    chosen = "[...document.querySelectorAll('[aria-selected=true]')].map(item => item.id).join()"
    expect("the first is chosen", f"{chosen} === 'found-0'")
    press(browser, "ArrowDown")
    expect("the second is chosen", f"{chosen} === 'found-1'")
    press(browser, "ArrowUp", "ArrowUp")
    expect("up from the first is the last", f"{chosen} === 'found-' + (document.querySelectorAll('#found li').length - 1)")
    press(browser, "Escape")
    expect("Escape closes the list", "document.querySelector('#found').hidden")
    press(browser, "ArrowDown")
    target = evaluate(browser, "document.querySelector('[aria-selected=true] a').href")
    press(browser, "Enter")
    browser.wait("Page.loadEventFired")
    expect("Enter opens it", f"location.href === {json.dumps(target)}")
    go(browser, (site / "index.html").as_uri() + "?q=xqzjkwv")
    expect("nothing is found", "document.querySelector('#found').textContent === 'Found nowhere.'")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    go(browser, (site / "index.html").as_uri())
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    form = evaluate(browser, "document.querySelector('form').action")
    if not form.endswith("/names.html"):
        faults.append(f"without scripts the field leads to {form}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, help="where site and screenshots stay")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    parser.add_argument("--program", type=pathlib.Path, default=HERE / "target/release/workbench")
    given = parser.parse_args()
    out = given.keep or pathlib.Path(tempfile.mkdtemp(prefix="check_docs-"))
    site = (out / "site").resolve()
    site.mkdir(parents=True, exist_ok=True)
    subprocess.run([given.program, "doc", "--html", site], check=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(given.chromium, profile)
        browser.open(site / "index.html")
        faults = looks(browser, site, out) + searches(browser, site, given.program) + keyboard(browser, site)
        for event in browser.events:
            if event.get("method") in ["Log.entryAdded", "Runtime.exceptionThrown"]:
                faults.append(f"the browser says: {json.dumps(event.get('params', {}))[:300]}")
        browser.close()
    print(f"screenshots: {out}")
    for fault in faults:
        print(f"FAULT {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
