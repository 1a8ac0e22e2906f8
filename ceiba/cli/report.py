"""`ceiba report`: what a bundle's own report says."""

from ceiba.base.errors import BundleError
from ceiba.bundle import open_bundle
from ceiba.cli.opening import bundle_folder
from ceiba.cli.words import finish, metric_table, words


def main(arguments: list[str]) -> int:
    """Print the figures that were measured when the bundle was made, and the path of the page."""
    parser = words("report", "Show the figures of a bundle and the path of its page.")
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    given = parser.parse_args(arguments)
    bundle = open_bundle(bundle_folder(given.bundle))
    if bundle.report is None:
        raise BundleError(f"{bundle.folder} holds no report", "none", "Measure it: ceiba evaluate BUNDLE DATA")
    print(metric_table(bundle.report))
    print(f"Report: {bundle.folder / 'report.html'}")
    return finish(
        given.json,
        {"bundle": str(bundle.folder), "metrics": bundle.report["metrics"], "baselines": bundle.report["baselines"]},
    )
