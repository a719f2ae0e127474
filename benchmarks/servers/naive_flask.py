"""A model behind Flask in the fewest lines."""

import os

import joblib
import numpy as np
from flask import Flask, request

app = Flask(__name__)
model = joblib.load(os.environ["MODEL_FILE"])


@app.post("/predict")
def predict() -> dict[str, list[int]]:
    """Answer the predictions of some rows."""
    return {"prediction": model.predict(np.array(request.get_json()["data"])).tolist()}
