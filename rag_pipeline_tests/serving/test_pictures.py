"""Pictures over HTTP: given to who may read their document, as files that no browser runs."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from rag_pipeline.serving.app import build_app
from rag_pipeline.serving.pictures import PicturesAnswer
from rag_pipeline_tests.parsing.pictured_files import docx_of, html_of, png
from rag_pipeline_tests.pipeline.project import Project
from rag_pipeline_tests.serving.conftest import Served, running, tokens_for
from rag_pipeline_tests.serving.test_api import assert_problem

DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script>" + b"<g/>" * 200 + b"</svg>"


def test_pictures_are_files_for_who_may_read_their_document(lake: Project, tmp_path: Path) -> None:
    project = lake.copied(tmp_path)
    folder = project.folder / "docs"
    (folder / "plan.docx").write_bytes(docx_of([png()]))
    (folder / "plan.docx.meta.yaml").write_text("allowed_principals: [board]\n")
    page = html_of([DRAWING]).replace(b"image/png", b"image/svg+xml").replace(b"The quay", b"The other quay")
    assert b64encode(DRAWING) in page
    (folder / "page.html").write_bytes(page)
    (folder / "page.html.meta.yaml").write_text("allowed_principals: [board]\n")
    project.refresh()
    tokens = tokens_for(project)
    with running(build_app(project.pipeline())) as url:
        served = Served(url, project, tokens)
        with served.client("eve") as client:
            listed = client.post("/v1/pictures", json={"document": "docs/plan.docx"}).json()
            PicturesAnswer.model_validate(listed)
            [found] = listed["pictures"]
            picture = client.post("/v1/picture", json={"address": found["address"]})
            assert (picture.status_code, picture.content) == (200, png())
            assert picture.headers["content-type"] == "image/png"
            assert picture.headers["content-disposition"] == 'attachment; filename="picture-1.png"'
            drawn = client.post("/v1/picture", json={"address": "docs/page.html!/pictures/1"})
            assert drawn.content == DRAWING
            assert drawn.headers["content-type"] == "application/octet-stream"
            assert drawn.headers["x-content-type-options"] == "nosniff"
            assert_problem(client.post("/v1/picture", json={"address": "docs/plan.docx"}), 422, "bad_query")
        with served.client("ann") as client:
            closed = [
                client.post("/v1/picture", json={"address": found["address"]}),
                client.post("/v1/picture", json={"address": "docs/none.docx!/pictures/1"}),
                client.post("/v1/pictures", json={"document": "docs/plan.docx"}),
            ]
            assert len({assert_problem(each, 404, "not_there")["detail"] for each in closed}) == 1
