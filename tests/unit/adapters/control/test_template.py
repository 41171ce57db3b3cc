"""Go templates that users of `weave report -f` write."""

from __future__ import annotations

import re

import pytest

from adapters.control.template import TEMPLATE_SIZE_MAX, TemplateError, render

DATA = {
    "Version": "0.1",
    "Router": {"Name": "n", "Targets": ["a", "b"], "Peers": [{"Name": "p", "Up": True}, {"Name": "q", "Up": False}]},
    "IPAM": {"DefaultSubnet": "10.32.0.0/12", "Free": 3, "None": None, "Empty": []},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Version}}", "0.1"),
        ("{{ .Router.Name }}", "n"),
        (r"{{range .Router.Targets}}{{.}}{{`\n`}}{{end}}", r"a\nb\n"),
        ('{{range .Router.Targets}}{{.}}{{"\\n"}}{{end}}', "a\nb\n"),
        ("{{range $i, $x := .Router.Targets}}{{$i}}={{$x}} {{end}}", "0=a 1=b "),
        ("{{range .IPAM.Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Router.Peers}}{{if .Up}}{{.Name}}{{end}}{{end}}", "p"),
        ("{{range .Router.Peers}}{{$.Version}}{{end}}", "0.10.1"),
        ("{{with .Router}}{{.Name}}{{end}}", "n"),
        ("{{with .IPAM.None}}x{{else}}{{.Version}}{{end}}", "0.1"),
        ("{{if eq (len .Router.Peers) 2}}two{{else}}other{{end}}", "two"),
        ("{{if gt .IPAM.Free 5}}a{{else if gt .IPAM.Free 2}}b{{else}}c{{end}}", "b"),
        ("{{if and .IPAM.Free (not .IPAM.Empty)}}y{{end}}", "y"),
        ("{{len .Router.Targets}}", "2"),
        ("{{index .Router.Targets 1}}", "b"),
        ("{{(index .Router.Peers 0).Name}}", "p"),
        ("{{json .Router.Targets}}", '["a", "b"]'),
        ("{{.Router.Targets}}", "[a b]"),
        ('{{printf "%-4s|%3d|%q" .Router.Name .IPAM.Free .Version}}', 'n   |  3|"0.1"'),
        ("{{.Version | printf `%s!`}}", "0.1!"),
        ("{{$x := .Version}}{{$x}}", "0.1"),
        ("a {{- .Version -}} b", "a0.1b"),
        ("{{/* nothing */}}x", "x"),
        ("{{.IPAM.None}}", "<nil>"),
    ],
)
def test_a_template_is_rendered_as_by_go(template: str, text: str) -> None:
    assert render(template, DATA) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nonsense}}", "can't evaluate field Nonsense"),
        ("{{.Router.Name.X}}", "can't evaluate field X"),
        ("{{range .Router.Targets}}", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{range .Version}}x{{end}}", "can't iterate"),
        ("{{nonsense .Version}}", 'function "nonsense" not defined'),
        ("{{$x}}", "undefined variable"),
        ("{{index .Router.Targets 9}}", "error calling index"),
        ("{{len 3}}", "error calling len"),
        ("{{(.Version}}", "unclosed left paren"),
        ("{{", "unclosed action"),
        ("{{.Version | }}", "missing value"),
        ("{{~}}", "unexpected '~'"),
        ("x" * (TEMPLATE_SIZE_MAX + 1), "are the limit"),
        ("{{if .Version}}" * 100, "nested"),
        ("{{range $.Router.Targets}}" * 40 + "x" + "{{end}}" * 40, "steps"),
    ],
)
def test_a_wrong_template_is_told_what_is_wrong(template: str, words: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(words)):
        render(template, DATA)
