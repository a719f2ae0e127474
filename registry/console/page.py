"""How a page of the console is made: its template, what every template may use, its headers, and how an error looks.

Every value is escaped by the templates; nothing here ever marks a text as safe.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, g, render_template, request

from registry.api import problems
from registry.console import assets, session, shown

#: Nothing but what this service serves may run, load, be asked or be sent to, and nobody may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
THEME_COOKIE = "modelyard_theme"
THEMES = ("light", "dark")


def page(template: str, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> Response:
    """Return a page, or the part of one that a template is."""
    response = Response(render_template(f"console/{template}", **context), status, mimetype="text/html")
    response.headers.update({"Content-Security-Policy": POLICY, **(headers or {})})
    return response


def show_problem(error: Exception) -> Response:
    """Show an error with everything that its JSON would say, and with the same status, headers and log line."""
    answer = problems.respond(error)
    if not (answer.mimetype or "").endswith("json"):
        return answer  # a redirect, not an error
    problem = json.loads(answer.get_data())
    slug = problem["type"].removeprefix(problems.TYPE_PREFIX)
    response = page("problem.html" if session.wants_part() else "problem_page.html", answer.status_code, problem=problem, slug=slug)
    for name in ("Retry-After", "Connection", "Allow"):
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    return response


def register(blueprint: Blueprint) -> None:
    """Give the templates what they use."""
    blueprint.context_processor(_context)
    blueprint.register_error_handler(Exception, show_problem)
    blueprint.after_request(_keep_private)
    for name, function in shown.FILTERS.items():
        blueprint.add_app_template_filter(function, name)


def _keep_private(response: Response) -> Response:
    """Keep pages, files and redirects out of every cache, but for what is the same for everybody; and addresses from other sites."""
    response.headers["Referrer-Policy"] = "same-origin"
    if not response.cache_control.public:
        response.headers["Cache-Control"] = "no-store"
    return response


def _context() -> dict[str, Any]:
    caller = g.get("caller")
    theme = request.cookies.get(THEME_COOKIE)
    return {
        "me": caller.key if caller is not None else None,
        "may": lambda scope: caller is not None and scope in caller.scopes,
        "csrf": session.csrf_token(),
        "theme": theme if theme in THEMES else "auto",
        "asset": assets.url,
    }
