"""Small classifiers of faces' attributes and of CIFAR-10's classes.

    from graftscope.training.classifier import FeatureTask, learn_classifier

    classifier = learn_classifier(FeatureTask.CIFAR10, "cifar10.zip")
    for told in classifier.told:
        print(told.name, told.accuracy)

They judge what generators make. `graftscope.exporter` writes one as an ONNX file.
"""

from graftscope.training.classifier._learning import (
    BATCH,
    EPOCHS,
    SHIFT,
    Classifier,
    Told,
    learn_classifier,
)
from graftscope.training.classifier._network import FEATURES, ClassifierNetwork
from graftscope.training.quality import FeatureTask

__all__ = [
    "BATCH",
    "EPOCHS",
    "FEATURES",
    "SHIFT",
    "Classifier",
    "ClassifierNetwork",
    "FeatureTask",
    "Told",
    "learn_classifier",
]
