"""A Flask view that computes nothing."""

from flask import Flask

app = Flask(__name__)


@app.post("/predict")
def predict() -> dict[str, list[int]]:
    """Answer a constant."""
    return {"prediction": [0]}
