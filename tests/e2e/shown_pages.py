"""Every page of the console, as tests look at them and pictures are taken of them."""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """One page: what its picture is called, where it is, its heading, and whether somebody is signed in. `query` goes with it."""

    name: str
    path: str
    heading: str
    signed_in: bool = True


PAGES = (
    Shown("sign-in", "/console/sign-in", "Sign in", signed_in=False),
    Shown("models", "/console/models", "Models"),
    Shown("model", "/console/models/churn", "churn"),
    Shown("version", "/console/models/churn/4", "churn"),
    Shown("compare", "/console/models/churn/compare?a=2&b=4", "churn"),
    Shown("traffic", "/console/traffic?window=day", "Traffic"),
    Shown("keys", "/console/keys", "Keys"),
    Shown("events", "/console/events", "Events"),
    Shown("upload", "/console/upload", "Upload"),
)
#: Parts of pages that have pictures of their own: what they are called, where they are, and what is shown of the page.
PARTS = (
    ("versions", "/console/models/churn", "#versions"),
    ("estimator", "/console/models/churn/4", "section:has(> #estimator-title)"),
    ("memory", "/console/traffic?window=day", "#memory"),
)
PROBLEM = Shown("problem", "/console/models/nothing-of-that-name", "")
