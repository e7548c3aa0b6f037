"""The page and the card in a real browser."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from rhnas.cli import app
from rhnas.errors import MissingToolError
from rhnas.report import browser
from rhnas.report.card import card_of, render_card
from rhnas.report.render import render
from rhnas.report.run import Run
from tests.report.runs import write_run

needs_chromium = pytest.mark.skipif(browser.find_chromium() is None, reason="Chromium is not installed")

PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  document.title = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth,
    plots: [...document.querySelectorAll(".plot")].map((node) => node.querySelectorAll(".main-svg").length),
    errors: window.errors,
  });
}, 500));
</script>"""
CATCH = "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));</script>"


def probe(directory, width: int) -> dict:
    """Errors, plots and horizontal overflow of the page at a width."""
    text = render(directory).read_text()
    page = directory / "probe.html"
    page.write_text(text.replace("<head>", "<head>" + CATCH).replace("</body>", PROBE + "</body>"))
    options = (
        f"--window-size={width},2000",
        "--virtual-time-budget=5000",
        "--dump-dom",
        "--enable-logging=stderr",
    )
    done = browser.run_chromium(page, *options)
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    return json.loads(title.replace("&quot;", '"'))


@needs_chromium
def test_the_page_draws_all_plots_without_errors_or_overflow(run_directory):
    seen = probe(run_directory, 1280)
    assert seen["errors"] == []
    assert seen["overflow"] == 0
    assert len(seen["plots"]) == 4
    assert all(seen["plots"])


@needs_chromium
def test_an_unfinished_run_opens_too(tmp_path):
    seen = probe(write_run(tmp_path / "run", None), 1280)
    assert (seen["errors"], seen["overflow"]) == ([], 0)


@needs_chromium
def test_a_screenshot_is_not_blank(run_directory, tmp_path):
    picture = browser.screenshot(render(run_directory), tmp_path / "page.png", width=1280, height=1600)
    with Image.open(picture) as image:
        assert image.size == (1280, 1600)
        assert len(image.convert("L").resize((128, 160)).getcolors()) > 20


@needs_chromium
def test_the_card_is_drawn_twice_as_large(run_directory):
    svg, png = render_card(run_directory)
    assert svg.name == "card.svg"
    with Image.open(png) as image:
        assert image.size == (2400, 1350)
        assert len(image.convert("L").resize((240, 135)).getcolors()) > 20


def test_the_card_tells_ratios_accuracy_and_how(run_directory, result):
    text = " ".join(ET.fromstring(card_of(Run.load(run_directory))).itertext())
    for key, name in (("latency", "latency"), ("energy", "energy"), ("edp", "energy × delay")):
        ratio = result["ratios"][key]
        assert f"{max(ratio, 1 / ratio):.3g}" in text
        assert f"{'lower' if ratio >= 1 else 'higher'} {name}" in text
    assert f"{100 * result['found']['accuracy']:.2f}" in text
    assert "modelled" in text


def test_without_chromium_the_svg_is_written_and_the_picture_is_explained(run_directory, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingToolError, match="Chromium"):
        browser.screenshot(run_directory / "report.html", run_directory / "x.png", width=10, height=10)
    with pytest.raises(SystemExit) as ended:
        app.main(["report", str(run_directory), "--card", "--json"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["report"] == str(run_directory / "report.html")
    assert list(told["card"]) == ["svg"]
    assert "Chromium" in err


def test_a_card_of_an_unfinished_run_is_refused(tmp_path, capsys):
    directory = write_run(tmp_path / "run", None)
    with pytest.raises(SystemExit) as ended:
        app.main(["report", str(directory), "--card", "--json"])
    assert ended.value.code == 2
    assert "--resume" in json.loads(capsys.readouterr().out)["error"]["fix"]


def test_report_prints_the_pages_path(run_directory, capsys):
    with pytest.raises(SystemExit) as ended:
        app.main(["report", str(run_directory)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(run_directory / "report.html")
