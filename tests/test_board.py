"""The results board: the same pages and the same measure for every method, kept from lesson to lesson."""

import json
import statistics

import pytest
import torch

from course_utils import data
from course_utils.board import SCAN, Board
from course_utils.files import CourseError
from course_utils.metrics import evaluate
from course_utils.models import DnCNN


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "test")
    monkeypatch.setenv("COURSE_BOARD", str(tmp_path / "board.json"))


def darker(scan):
    return scan * 0.9


def test_measures_as_evaluate_does_on_the_pages_of_both_scanners(capsys):
    result = Board("01_x").add("darker", darker)
    for part, scanner in (("test", "known"), ("unseen", "unseen")):
        pairs = data.PairedImages(data.pairs_in(data.course_pages("test") / part))
        scans, originals = zip(*(pairs[i] for i in range(len(pairs))), strict=True)
        assert result[scanner] == evaluate([darker(scan) for scan in scans], originals)
    line = capsys.readouterr().out
    assert line.startswith(f"darker: {result['known']['psnr']:.2f} dB (") and "unseen scanner" in line


def test_the_scan_itself_opens_the_board_and_gains_nothing():
    board = Board("01_x")
    board.add("darker", darker)
    assert [each["method"] for each in board.results] == [SCAN, "darker"]
    assert board.gain(board.results[0]) == 0
    same = board.add("unchanged", lambda scan: scan)
    assert same["known"] == board.results[0]["known"]


def test_a_later_lesson_finds_the_results_and_lessons_stand_in_order():
    Board("04_x").add("darker", darker)
    Board("02_x").add("half", lambda scan: scan / 2)
    board = Board("05_x")
    assert [each["method"] for each in board.results] == [SCAN, "half", "darker"]
    again = board.results
    board.add("nothing", lambda scan: 0 * scan)
    Board("02_x").add("half", lambda scan: 0.6 * scan)
    found = Board("05_x").results
    assert [each["method"] for each in found] == [SCAN, "half", "darker", "nothing"]
    assert found[1]["known"] != again[1]["known"] and found[2] == again[2]


def test_a_method_that_is_added_again_keeps_its_place():
    board = Board("01_x")
    for strength in (0.5, 0.6):
        board.add("first", lambda scan, strength=strength: strength * scan)
        board.add("second", darker)
    assert [each["method"] for each in board.results] == [SCAN, "first", "second"]
    assert board.results[1] == Board("01_x").results[1] != board.results[2]
    again = board.add("first", darker)
    assert [each["method"] for each in board.results] == [SCAN, "first", "second"] and board.results[1] == again


def test_a_network_is_run_as_restore_runs_it_and_its_parameters_counted():
    torch.manual_seed(0)
    board, network = Board("05_x"), DnCNN(depth=3, width=4)
    result = board.add("DnCNN", network)
    assert result["parameters"] == sum(p.numel() for p in network.parameters())
    assert result["known"] == pytest.approx(
        board.results[0]["known"]
    )  # its last layer starts at zero: it gives the scan
    assert "parameters" in repr(board)


def test_values_out_of_range_are_clipped_and_a_method_may_spoil_its_input():
    board = Board("01_x")
    board.add("in place", lambda scan: scan.mul_(3))
    assert board.results[0]["known"] == board.add("unchanged", lambda scan: scan)["known"]


def test_as_a_table_the_best_stands_out_and_names_are_escaped():
    board = Board("01_x")
    assert "empty" in board._repr_html_()
    board.add("a < b", darker)
    pairs = data.PairedImages(data.pairs_in(data.course_pages("test") / "test"))
    offset = sum((x - y).mean().item() for y, x in (pairs[i] for i in range(len(pairs)))) / len(pairs)
    board.add("shifted", lambda scan: scan + offset)
    page = board._repr_html_()
    assert "a &lt; b" in page and "a < b" not in page
    assert 'font-weight:bold">shifted' in page and 'font-weight:bold">a ' not in page
    assert page.count("<tr>") == 4 and "aria-label" in page


def test_bad_input_is_named(tmp_path):
    with pytest.raises(CourseError, match="name of its method"):
        Board("01_x").add("", darker)
    with pytest.raises(CourseError, match="differ in shape"):
        Board("01_x").add("cropped", lambda scan: scan[:, :9])
    (tmp_path / "board.json").write_text("{")
    with pytest.raises(CourseError, match=r"board\.json.*remove the file"):
        Board("01_x")


def test_a_failed_method_leaves_the_board_as_it_was(tmp_path):
    board = Board("01_x")
    board.add("darker", darker)
    before = (tmp_path / "board.json").read_bytes()
    with pytest.raises(ZeroDivisionError):
        board.add("broken", lambda scan: 1 / 0)
    assert (tmp_path / "board.json").read_bytes() == before
    assert len(json.loads(before)) == 2


def test_runs_of_several_seeds_are_one_result_with_its_spread(capsys):
    board, strengths = Board("06_x"), (0.7, 0.8, 0.9)
    alone = [board.add(f"{strength}", lambda scan, strength=strength: strength * scan) for strength in strengths]
    capsys.readouterr()
    together = board.add("all", [lambda scan, strength=strength: strength * scan for strength in strengths])
    for scanner in ("known", "unseen"):
        values = [result[scanner]["psnr"] for result in alone]
        assert together[scanner]["psnr"] == pytest.approx(sum(values) / 3)
        assert together["spread"][scanner] == pytest.approx(statistics.stdev(values))
        assert together[scanner]["ssim"] == pytest.approx(sum(result[scanner]["ssim"] for result in alone) / 3)
    text = f"{together['known']['psnr']:.2f} ± {together['spread']['known']:.2f}"
    assert capsys.readouterr().out.startswith(f"all, 3 seeds: {text} dB (")
    again = Board("07_x")  # from the file
    assert text in repr(again) and text in again._repr_html_() and "standard deviation" in again._repr_html_()


def test_one_network_in_a_list_is_a_single_run_and_none_is_an_error(capsys):
    board = Board("06_x")
    assert "spread" not in board.add("one", [darker]) and capsys.readouterr().out.startswith("one: ")
    assert "standard deviation" not in board._repr_html_()
    with pytest.raises(CourseError, match="the list of networks is empty"):
        board.add("none", [])
