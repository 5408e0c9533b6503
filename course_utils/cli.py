"""The `course` command. Each subcommand is one function below; what it does is in the library."""

import argparse
import sys
from pathlib import Path

from course_utils.files import CourseError

EXAMPLES = """examples:
  course demo                                       train on the embedded pages and restore scanned ones
  course data fetch pages                           make the magazine pages (20 seconds, no download)
  course train --data pages --out runs/first        train; the same line again goes on where it stopped
  course restore scan.png --model runs/first/best.safetensors --out restored
  course lessons run 05_dncnn --solution --out html
  course grade submissions --out marks              grade a class: records, gradebook, a page for each student
  course doctor                                     what to do when something does not work
"""


def main(arguments=None):
    """Run the command; returns the exit code: 0 done, 1 doctor found a problem, 2 a clear error, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what was saved", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        print(f"course: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error):
    if isinstance(error, CourseError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}; please report it, with what --debug prints"


def _data_list(options):
    from course_utils import data

    for name, record in data.datasets().items():
        print(f"{name:10} {record.title}\n{'':10} {record.holds}\n{'':10} {record.size}; {record.licence}")
    print(f"{'FOLDER':10} one of your own, with clean/ and scan/\n\nData are kept in {data.home()} (COURSE_HOME).")


def _data_fetch(options):
    from course_utils import data

    print(data.fetch(options.name, folder=options.folder, mirrors=options.mirror))


def _data_make(options):
    from course_utils import data

    counts = {"train": options.train, "valid": options.valid, "test": options.test}
    print(data.make_pages(options.folder, **counts, size=options.size, seed=options.seed))


def _train(options):
    from accelerate import PartialState

    from course_utils.recipes import recipe, train

    chosen = recipe().but(**{name: getattr(options, name) for name in recipe().names()})
    _, history = train(
        chosen,
        options.data,
        options.out,
        seed=options.seed,
        patience=options.patience,
        save_every=options.save_every,
        precision=options.precision,
        compile=options.compile,
        workers=options.workers,
        resume=not options.restart,
    )
    say = PartialState().print  # once, however many processes train
    say(f"best: {max(history.psnrs):.2f} dB on validation at step {history.best_step}")
    say(options.out / "best.safetensors")


def _restore(options):
    from course_utils.checkpoints import load_model
    from course_utils.images import read_image, to_tensor, write_image
    from course_utils.inference import restore

    model = load_model(options.model)
    targets = [options.out / f"{path.stem}.png" for path in options.images]
    for path, target in zip(options.images, targets, strict=True):
        if targets.count(target) > 1:
            raise CourseError(f"{path}: another image would be written to {target} too; restore them into two folders")
        if target.exists() and target.samefile(path):
            raise CourseError(f"{path} would be overwritten by its restoration; choose another --out")
    for path, target in zip(options.images, targets, strict=True):
        write_image(target, restore(model, to_tensor(read_image(path)), tile=options.tile or "auto", progress=True))
        print(target)


def _demo(options):
    from course_utils.demo import run

    run(options.out, seed=options.seed)


def _lessons_list(options):
    from course_utils import authoring

    for lesson in authoring.list_lessons(authoring.find_root()):
        minutes = ", ".join(f"{profile} {time} min" for profile, time in lesson.minutes.items())
        print(f"{lesson.name:14} {lesson.title} ({minutes})")


def _lessons_build(options):
    from course_utils import authoring

    changed = authoring.build(authoring.find_root(), check=options.check)
    print(*changed, sep="\n") if changed else print("All notebooks match their sources.")


def _lessons_run(options):
    from course_utils import headless
    from course_utils.authoring import find_root

    if bool(options.names) == options.all:
        raise CourseError("which lessons? Name some (see `course lessons list`), or say --all")
    how = {"solution": options.solution, "profile": options.profile}
    if options.all or options.figures:
        print(headless.run_all(find_root(), options.out, names=options.names, **how))
        print(options.out / "board.html")
        return
    for name in options.names:
        print(headless.run(name, find_root(), options.out, **how))


def _grade(options):
    if sys.platform != "linux":
        raise CourseError(
            "course grade needs Linux, for its sandbox; elsewhere run it in WSL, Docker or a virtual machine"
        )
    from course_utils.grading import classes

    names = ("lesson", "seed", "jobs", "resume", "insecure", "dask", "one", "seconds")
    classes.grade(options.submissions, options.out, **{name: getattr(options, name) for name in names})
    print(classes.report(options.out))
    print(f"\n{options.out / 'index.html'}")


def _export_nbgrader(options):
    from course_utils.grading import export

    print(export.nbgrader_assignment(options.lesson, options.out))


def _export_gradescope(options):
    from course_utils.grading import export

    print(export.gradescope_autograder(options.lesson, options.out, insecure=options.insecure))


def _export_results(options):
    import json

    from course_utils.files import atomic
    from course_utils.grading.platforms import gradescope_results
    from course_utils.grading.records import read_records

    records = read_records(options.graded)
    if len(records) != 1:
        raise CourseError(f"{options.graded} has {len(records)} records; Gradescope takes one: grade with --one")
    with atomic(options.out) as temporary:
        temporary.write_text(json.dumps(gradescope_results(records[0])), encoding="utf-8")


def _export_canvas(options):
    from course_utils.grading.platforms import fill_canvas
    from course_utils.grading.records import read_records

    print(fill_canvas(read_records(options.graded), options.export, options.out, options.assignment, options.scale))


def _export_moodle(options):
    from course_utils.grading.platforms import fill_moodle
    from course_utils.grading.records import read_records

    columns = dict(pair.partition("=")[::2] for pair in options.column)
    records = read_records(options.graded)
    print(fill_moodle(records, options.worksheet, options.out, options.scale, options.comments, columns))


def _bench(options):
    import json
    import subprocess
    import tempfile

    from course_utils import authoring, profiles
    from course_utils.files import atomic

    folder, results = authoring.find_root() / "benchmarks", {}
    print(profiles.describe(profiles.current().device), flush=True)
    for name in options.names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as temporary:
            figures = Path(temporary) / "figures.json"
            quick = ["--quick"] if options.quick else []
            print(f"\n{name}", flush=True)
            done = subprocess.run([sys.executable, folder / f"{name}.py", "--json", figures, *quick], cwd=folder.parent)
            if done.returncode:
                raise CourseError(f"benchmarks/{name}.py failed; what it printed above says why")
            results[name] = json.loads(figures.read_text())
    if options.json:
        with atomic(options.json) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n")


BENCHMARKS = ("data", "training", "restoring", "quality")


def _doctor(options):
    from course_utils import doctor

    findings = doctor.examine()
    print(doctor.report(findings))
    return 0 if doctor.healthy(findings) else 1


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, as for every other error; argparse would print the usage too."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser():
    parser = _Parser(
        prog="course",
        description="Lessons in image restoration: data, training, restoring, notebooks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_data(_group(commands, "data", "what data there are; get or make them"))
    _add_train(_command(commands, "train", _train, "train DnCNN on pairs of images"))
    _add_restore(_command(commands, "restore", _restore, "restore images with a trained network"))
    demo = _command(commands, "demo", _demo, "from nothing to restored pages, in a few minutes")
    demo.add_argument("--out", type=_folder, default=Path("runs/demo"), help="folder for what it makes (%(default)s)")
    demo.add_argument("--seed", type=int, default=0)
    _add_lessons(_group(commands, "lessons", "list, build and run the lessons (in a clone of the repository)"))
    _add_grade(_command(commands, "grade", _grade, "grade what a class has handed in"))
    _add_export(_group(commands, "export", "for other systems: nbgrader, Gradescope, Canvas, Moodle"))
    _add_bench(_command(commands, "bench", _bench, "how fast this machine is (in a clone of the repository)"))
    _command(commands, "doctor", _doctor, "look at this installation, and say what to do")
    return parser


def _version():
    from course_utils import __version__

    return f"course {__version__}"


def _group(commands, name, text):
    return commands.add_parser(name, help=text, description=text).add_subparsers(metavar="COMMAND", required=True)


def _command(commands, name, run, text, example=None):
    keep = argparse.RawDescriptionHelpFormatter
    epilog = f"example:\n  {example}" if example else None
    command = commands.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=keep)
    command.set_defaults(run=run)
    return command


def _add_data(commands):
    _command(commands, "list", _data_list, "list the data sets")
    fetch = _command(commands, "fetch", _data_fetch, "get a data set", "course data fetch descan --mirror /media/usb")
    fetch.add_argument("name", help="a name from `course data list`, or a folder with clean/ and scan/")
    fetch.add_argument("--folder", type=_folder, help="where to put it")
    fetch.add_argument("--mirror", action="append", default=[], help="a folder or address that has the archives")
    make = _command(commands, "make", _data_make, "make magazine pages", "course data make pages-large --train 500")
    make.add_argument("folder", type=_folder)
    for name, count in (("train", 24), ("valid", 6), ("test", 6)):
        make.add_argument(f"--{name}", type=_whole(0), default=count, help="number of pages (%(default)s)")
    make.add_argument("--size", type=_whole(256), default=512, help="height and width in pixels (%(default)s)")
    make.add_argument("--seed", type=_whole(0), default=0)


def _add_train(train):
    from course_utils.recipes import DESCRIPTION

    train.epilog = "example:\n  course train --data pages --out runs/deep --depth 17 --width 64 --steps 20000"
    train.add_argument("--data", default="pages", help="a data set, or a folder of one's own (%(default)s)")
    train.add_argument(
        "--out", type=_folder, required=True, help="folder for the checkpoints; used again, training goes on"
    )
    for name, text in DESCRIPTION.items():
        kind = _rate if name == "lr" else _whole(1)
        train.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{text} (default: as the profile says)")
    train.add_argument("--patience", type=_whole(1), help="stop after this many validations without a better one")
    train.add_argument("--save-every", type=_whole(1), default=100, help="steps between saves (%(default)s)")
    train.add_argument(
        "--precision",
        choices=("auto", "no", "bf16", "fp16"),
        default="auto",
        help="mixed precision; auto takes what is fastest here (%(default)s)",
    )
    train.add_argument("--compile", action="store_true", help="torch.compile the network: for long trainings")
    train.add_argument("--workers", type=_whole(0), default=0, help="processes that load data (%(default)s)")
    train.add_argument("--seed", type=_whole(0), default=0)
    train.add_argument("--restart", action="store_true", help="begin anew, whatever is in --out")


def _add_restore(restore):
    restore.epilog = "example:\n  course restore page.jpg --model runs/demo/best.safetensors --out restored"
    restore.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    restore.add_argument("--model", type=Path, required=True, help="a checkpoint, best.safetensors")
    restore.add_argument("--out", type=_folder, required=True, help="folder for the restored images (PNG)")
    restore.add_argument("--tile", type=_whole(1), help="side of the tiles in pixels (default: 512)")


def _add_bench(bench):
    bench.epilog = "example:\n  course bench quality"
    bench.add_argument(
        "names", nargs="*", type=_benchmark, metavar="NAME", help=f"some of {', '.join(BENCHMARKS)} (default: all)"
    )
    bench.add_argument("--quick", action="store_true", help="a first answer, within a minute for each")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")


def _add_lessons(commands):
    _command(commands, "list", _lessons_list, "list the lessons")
    build = _command(commands, "build", _lessons_build, "make the notebooks from lessons/source")
    build.add_argument("--check", action="store_true", help="write nothing; fail if a notebook is stale")
    run = _command(commands, "run", _lessons_run, "run lessons without a browser and write them as HTML")
    run.add_argument("names", nargs="*", metavar="LESSON")
    run.add_argument("--all", action="store_true", help="all lessons, with one results board, held to what they say")
    run.add_argument("--figures", action="store_true", help="hold the named lessons to what they say, as --all does")
    run.add_argument("--out", type=_folder, default=Path("runs/lessons"), help="folder for the pages (%(default)s)")
    run.add_argument("--solution", action="store_true", help="with every exercise filled in")
    run.add_argument("--profile", choices=("test", "cpu", "gpu"), help="budget (default: by the device)")


def _add_grade(grade):
    grade.epilog = "example:\n  course grade submissions.zip --out marks --lesson 05_dncnn"
    grade.add_argument(
        "submissions",
        type=Path,
        help="a folder for each student, notebooks, nbgrader's submitted/, a download from Canvas or Moodle, a zip",
    )
    grade.add_argument("--out", type=_folder, required=True, help="folder for records, gradebook and feedback")
    grade.add_argument("--lesson", help="grade the exercises of this lesson (default: of all)")
    grade.add_argument("--seed", help="repeat a run with its seed, kept in OUT/run.json (default: a new secret one)")
    grade.add_argument("--jobs", type=_whole(1), help="submissions at a time (default: as many as processors)")
    grade.add_argument("--seconds", type=_whole(1), default=10, help="for each answer (%(default)s)")
    grade.add_argument(
        "--resume", action="store_true", help="go on with the run in OUT; what is new or changed is graded"
    )
    grade.add_argument(
        "--insecure", action="store_true", help="grade even without a sandbox; marks are not to be trusted"
    )
    grade.add_argument("--dask", metavar="ADDRESS", help="let the workers of this Dask scheduler grade")
    grade.add_argument("--one", action="store_true", help="all files are one submission, as Gradescope hands them over")


def _add_export(commands):
    nbgrader = _command(commands, "nbgrader", _export_nbgrader, "a lesson as an assignment of nbgrader")
    nbgrader.add_argument("lesson")
    nbgrader.add_argument("--out", type=_folder, required=True, help="folder of the nbgrader course")
    gradescope = _command(commands, "gradescope", _export_gradescope, "an autograder for Gradescope, autograder.zip")
    gradescope.add_argument("lesson")
    gradescope.add_argument("--out", type=Path, default=Path("autograder.zip"), help="the file (%(default)s)")
    gradescope.add_argument("--insecure", action="store_true", help="grade even where no sandbox can be had")
    results = _command(commands, "gradescope-results", _export_results, "one record as Gradescope's results.json")
    canvas = _command(commands, "canvas", _export_canvas, "fill in the gradebook exported from Canvas")
    moodle = _command(commands, "moodle", _export_moodle, "fill in the grading worksheet of Moodle")
    for command in (results, canvas, moodle):
        command.add_argument("graded", type=Path, help="the folder that `course grade` wrote")
    canvas.add_argument("--export", type=Path, required=True, help="the file that Canvas exported")
    canvas.add_argument("--assignment", help="part of the name of its column, or its number")
    moodle.add_argument("--worksheet", type=Path, required=True, help="the file that Moodle let you download")
    moodle.add_argument("--comments", action="store_true", help="fill in the feedback comments too")
    moodle.add_argument(
        "--column", action="append", default=[], metavar="grade=Bewertung", help="the name of a column in your language"
    )
    for command in (canvas, moodle):
        command.add_argument(
            "--no-scale", dest="scale", action="store_false", help="the points as they are, whatever the most is there"
        )
    for command, name in ((results, "results.json"), (canvas, "canvas.csv"), (moodle, "moodle.csv")):
        command.add_argument("--out", type=Path, default=Path(name), help="the file to write (%(default)s)")


def _folder(text):
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a file, not a folder")
    return path


def _benchmark(text):
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}")
    return text


def _rate(text):
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def _whole(least):
    def whole_number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return whole_number
