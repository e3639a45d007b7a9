"""Takes what a person does with a page, does it in Chromium, and looks for flaws.

Every page that is left is checked: nothing sticks out sideways, the console has no
errors, text stands out from what is behind it.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
WITHIN = 60
TALLEST_SHOT = 3000

STICKING_OUT = """
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= wide) return [];
return [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > wide + 1)
  .map((e) => e.tagName + "." + e.className).slice(0, 5);
"""

# Contrast as WCAG 2 computes it. Colours of any notation are read off a canvas.
TOO_FAINT = """
const canvas = document.createElement("canvas");
const pen = canvas.getContext("2d", {willReadFrequently: true});
const rgba = (colour) => {
  pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data];
};
const light = (c) => c.slice(0, 3).map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const style = getComputedStyle(e);
    if (style.backgroundImage !== "none") return null;
    const c = rgba(style.backgroundColor);
    if (c[3] === 255) return c;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return dark ? [0, 0, 0] : [255, 255, 255];
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
  if (e.closest("[aria-hidden=true], .unseen, script, style, option")) continue;
  const back = behind(e);
  if (!back) continue;
  const style = getComputedStyle(e);
  const [a, b] = [light(rgba(style.color)), light(back)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize);
  const big = size >= 24 || (size >= 18.6 && style.fontWeight >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  const words = e.textContent.trim().slice(0, 30);
  if (ratio < (big ? 3 : 4.5))
    faint.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} "${words}"`);
}
return faint.slice(0, 5);
"""

UNLABELLED = """
const all = "input:not([type=hidden]), select, textarea, button, a[href]";
return [...document.querySelectorAll(all)]
  .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.title))
  .filter((e) => e.type !== "submit" || !(e.value || e.textContent.trim()))
  .map((e) => e.outerHTML.slice(0, 120));
"""


@dataclass
class Screen:
    chrome: Chrome
    address: str
    size: str
    folder: Path | None
    """Where pictures go; without one none are taken."""
    allowed: list[str] = field(default_factory=list)
    """Parts of console messages that belong to what is shown, such as "404"."""

    def begin(self) -> None:
        width, height = SIZES[self.size]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        phone = self.size == "phone"
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics, mobile=phone)
        self.cdp("Network.clearBrowserCookies")
        self.colours("light")
        self.chrome.get("about:blank")
        self.console()

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.chrome.execute_cdp_cmd(command, arguments)

    def colours(self, scheme: str) -> None:
        # No smooth scrolling, which would move what is about to be clicked.
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.cdp("Emulation.setEmulatedMedia", features=features)

    def console(self) -> list[dict[str, Any]]:
        """Give what the console said since it was last asked."""
        return self.chrome.get_log("browser")  # type: ignore[no-untyped-call,no-any-return]

    def open(self, path: str) -> None:
        self.check()
        self.chrome.get(self.address + path)

    @property
    def path(self) -> str:
        return self.chrome.current_url.removeprefix(self.address)

    @property
    def text(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "body").text

    def find(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, css)

    def follow(self, words: str) -> None:
        """Click on a link and wait for the page behind it."""
        self.leave(self.chrome.find_element(By.LINK_TEXT, words))

    def press(self, css: str) -> None:
        """Click on a button that sends a form, and wait for the answer."""
        self.leave(self.find(css))

    def leave(self, element: WebElement) -> None:
        self.check()
        before = self.find("html").id
        element.click()
        WebDriverWait(self.chrome, WITHIN).until(
            lambda chrome: self.arrived(before), f"still on {self.path}"
        )

    def arrived(self, before: str) -> bool:
        here = self.chrome.find_elements(By.TAG_NAME, "html")
        ready = self.chrome.execute_script("return document.readyState")
        return bool(here) and here[0].id != before and ready == "complete"

    def fill(self, css: str, words: str) -> None:
        box = self.find(css)
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(words)

    def shows(self, words: str) -> None:
        assert words in self.text, f"{self.path} doesn't show {words!r}: {self.text}"

    def check(self) -> None:
        """Look for flaws of the page as it is."""
        if not self.chrome.current_url.startswith(self.address):
            return
        for flaw, script in [
            ("sticks out sideways", STICKING_OUT),
            ("is too faint to read", TOO_FAINT),
            ("has no label", UNLABELLED),
        ]:
            found = self.chrome.execute_script(script)
            assert found == [], f"{self.path} ({self.size}): {found} {flaw}"
        log = [
            entry["message"]
            for entry in self.console()
            if not any(part in entry["message"] for part in self.allowed)
        ]
        assert log == [], f"The console of {self.path} says {log}"

    def shoot(self, name: str) -> None:
        """Take a picture of the whole page."""
        self.check()
        if self.folder is None:
            return
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], TALLEST_SHOT)
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        taken = self.cdp(
            "Page.captureScreenshot", captureBeyondViewport=True, clip=clip
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = self.folder / f"{name}-{self.size}.png"
        picture.write_bytes(base64.b64decode(taken["data"]))
