"""A model behind FastAPI, as its documentation has it: a typed body, an async view, a typed answer."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["MODEL_FILE"])


class Rows(BaseModel):
    """What is asked for."""

    data: list[list[float]]


class Labels(BaseModel):
    """What is answered."""

    prediction: list[int]


@app.post("/predict")
async def predict(rows: Rows) -> Labels:
    """Answer the predictions of some rows."""
    return Labels(prediction=model.predict(np.array(rows.data)).tolist())
