"""Who takes part: in the quick set, and in all."""

from __future__ import annotations

from benchmarks.contenders import by_hand, frameworks, modelyard
from benchmarks.contenders.contract import Contender

QUICK: tuple[type[Contender], ...] = (
    modelyard.Modelyard,
    modelyard.ModelyardHits,
    by_hand.FlaskOnGranian,
    by_hand.Fastapi,
    by_hand.HelloFlask,
)
ALL: tuple[type[Contender], ...] = (
    modelyard.Modelyard,
    modelyard.ModelyardAllCores,
    modelyard.ModelyardHits,
    modelyard.ModelyardFast,
    by_hand.FlaskOnGranian,
    by_hand.FlaskOnGranianTwice,
    by_hand.FlaskOnGunicorn,
    by_hand.Fastapi,
    frameworks.Kserve,
    frameworks.Mlserver,
    frameworks.Mlflow,
    frameworks.Bentoml,
    frameworks.BentomlBatching,
    frameworks.Litserve,
    frameworks.Ray,
    by_hand.HelloFlask,
    by_hand.HelloNginx,
    by_hand.FastapiAsShipped,
    by_hand.FlaskOnGunicornAsShipped,
    frameworks.KserveAsShipped,
    frameworks.MlserverAsShipped,
    frameworks.MlflowAsShipped,
    frameworks.BentomlAsShipped,
    frameworks.LitserveAsShipped,
    frameworks.RayAsShipped,
)
