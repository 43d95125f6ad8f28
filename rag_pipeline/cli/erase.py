"""`rag-pipeline erase`: take documents out of the lake for good.

Belongs here: arguments, the question whether it is meant, and what was done.
Does not belong here: erasing (`refresh/erase.py`).
"""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rag_pipeline.cli.options import common_options, open_workspace
from rag_pipeline.cli.rendering import counted, emit, facts, show, talk
from rag_pipeline.errors import UsageError

if TYPE_CHECKING:
    from rag_pipeline.refresh.erase_plan import Wanted
    from rag_pipeline.refresh.erase_proof import Certificate
    from rag_pipeline.refresh.workspace import Workspace


@click.command()
@click.argument("document", required=False, metavar="[DOCUMENT]")
@click.option("--address", nargs=2, metavar="SOURCE ADDRESS", help="The document at this address of a source.")
@click.option(
    "--principal",
    metavar="PRINCIPAL",
    help="Documents that nobody else may read, and remarks and memberships of theirs.",
)
@click.option("--reason", metavar="TEXT", help="Why; it stands on the certificate.")
@click.option("--by", "erased_by", metavar="WHO", help="Who; else the user of this machine.")
@click.option(
    "--content", "by_content", is_flag=True, help="Documents of equal bytes too, and such under any name from now on."
)
@click.option(
    "--despite-versions", is_flag=True, help="Also where the bucket of the lake keeps older versions of its objects."
)
@click.option("--yes", "is_meant", is_flag=True, help="Do not ask whether it is meant.")
@click.option("--finish", "only_finish", is_flag=True, help="Finish an erasure that was begun; nothing else.")
@click.option("--release", "released", metavar="ERASURE", help="Let what this erasure took come back; its id.")
@common_options
def erase(
    document: str | None,
    address: tuple[str, str] | None,
    principal: str | None,
    reason: str | None,
    erased_by: str | None,
    by_content: bool,
    despite_versions: bool,
    is_meant: bool,
    only_finish: bool,
    released: str | None,
    as_json: bool,
) -> None:
    """Remove a document's bytes, text, vectors and traces from every layer and version, and prove it.

    DOCUMENT is an id or a uri. It does not come back with the next run. Rollback to versions from before is not
    possible afterwards. The source itself is not touched, nor are backups.

    Example: rag-pipeline erase --address handbook hr/parental-leave.md --reason "request 4711"
    """
    from rag_pipeline.refresh.erase import release
    from rag_pipeline.refresh.erase_plan import Wanted

    with open_workspace() as workspace:
        if released is not None:
            count = release(workspace, released)
            if as_json:
                emit({"released": count})
            else:
                talk(f"Released: {counted(count, 'document')} may come back with the next run.")
            return
        finished = _finished(workspace)
        if only_finish:
            _show(finished, as_json=as_json)
            return
        if finished is not None:
            talk(f"Finished erasure {finished.erasure_id}, which was begun before.")
        if [document, address, principal].count(None) != 2:
            raise UsageError(
                "say what to erase, in one way: DOCUMENT, --address SOURCE ADDRESS or --principal PRINCIPAL"
            )
        if not reason:
            raise UsageError('say why: --reason "…" stands on the certificate')
        wanted = Wanted(document or "", address, principal or "", by_content)
        if as_json and not is_meant:
            raise UsageError("nothing was erased: with --json there is nobody to ask, so say --yes if it is meant")
        by = erased_by or getpass.getuser()
        _begin(workspace, wanted, reason, by, is_meant=is_meant, despite_versions=despite_versions)
        _show(_finished(workspace), as_json=as_json)


def _begin(
    workspace: Workspace, wanted: Wanted, reason: str, erased_by: str, *, is_meant: bool, despite_versions: bool
) -> None:
    from rag_pipeline.refresh.erase import begin_erasure
    from rag_pipeline.refresh.erase_plan import look_up

    if not is_meant:
        found = look_up(workspace, wanted)
        for uri in found.uris:
            talk(f"  {uri}")
        parts = f" with all its parts, {counted(found.parts, 'document')} more," if found.parts else ""
        what = f"Erase {counted(len(found.uris), 'document')}{parts}"
        try:
            click.confirm(
                f"{what} from {workspace.lake.root}, and every older version of it?",
                abort=True,
                err=True,
            )
        except click.Abort:
            talk("")
            talk("Nothing was erased. Where nobody is there to answer, say --yes if it is meant.")
            raise
    begin_erasure(workspace, wanted, reason=reason, erased_by=erased_by, despite_versions=despite_versions)


def _finished(workspace: Workspace) -> Certificate | None:
    from rag_pipeline.refresh.erase import finish_erasure
    from rag_pipeline.stores.erasures import pending_erasure

    pending = pending_erasure(workspace.lake)
    if pending is None:
        return None
    from rag_pipeline.defs.scrub import scrub_of

    return finish_erasure(workspace, scrub_of(workspace.pipeline.dagster_home, pending.principals))


def _show(certificate: Certificate | None, *, as_json: bool) -> None:
    if certificate is None:
        if not as_json:
            talk("No erasure was begun that is not finished.")
        return
    if as_json:
        emit(asdict(certificate))
        return
    show(
        facts(
            [
                ("Erased", counted(len(certificate.documents), "document")),
                (
                    "Proof",
                    f"none of {counted(certificate.pieces, 'piece')} in {counted(certificate.searched_files, 'file')}",
                ),
                ("Equal bytes", ", ".join(certificate.shared_with) or "in no other document"),
                ("Notes", " ".join(certificate.notes) or "none"),
                ("Certificate", f"erasures/{certificate.erasure_id}.txt and .json in the lake"),
                ("To take it back", f"rag-pipeline erase --release {certificate.erasure_id}"),
            ]
        )
    )
