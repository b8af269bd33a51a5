"""The card of a classifier: what a person should know before trusting its verdicts."""

from typing import Final

from graftscope.exporter.sources._card import HELD_OUT_RULES
from graftscope.exporter.sources._checkpoint import LICENCES
from graftscope.training.classifier import BATCH, SHIFT, Classifier, FeatureTask

_TELLS: Final = {
    FeatureTask.CELEBA: "which of {} attributes a face has",
    FeatureTask.CIFAR10: "which of CIFAR-10's {} classes an image is of",
}
_SCORES: Final = {
    FeatureTask.CELEBA: (
        "a logit for each attribute, less its log-odds among the images trained on: above 0 where"
        " the image speaks for the attribute, however rare it is. Any number of attributes may hold"
    ),
    FeatureTask.CIFAR10: "a logit for each class; softmax makes probabilities of them",
}
_MEASURE: Final = {
    FeatureTask.CELEBA: (
        "Balanced accuracy: the mean of the shares told right among held-out images with the"
        " attribute and among those without. Guessing has 0.5, however rare the attribute is."
    ),
    FeatureTask.CIFAR10: "Share of each class's held-out images told right; guessing has 0.1.",
}
_DATA: Final = {FeatureTask.CELEBA: "CelebA", FeatureTask.CIFAR10: "CIFAR-10"}


def classifier_card(name: str, classifier: Classifier) -> str:
    """Write the card of a classifier.

    Args:
        name: What it is called.
        classifier: What was trained.

    Returns:
        Markdown.
    """
    sections = {
        "What it takes and gives": _ends(classifier),
        "Data": _data(classifier),
        "Training": _training(name, classifier),
        "Held-out images": _told(classifier),
        "Limits": _limits(classifier),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    tells = _TELLS[classifier.task].format(len(classifier.told))
    return f"# {name}\n\nA small network that tells {tells}.\n\n{body}\n"


def _ends(classifier: Classifier) -> str:
    size, task = classifier.image_size, classifier.task
    features = classifier.network.answers.in_features
    return (
        f"- `image`: (B, 3, {size}, {size}), float32, red first, in [-1, 1].\n"
        f"- `features`: (B, {features}), at least 0: the last hidden layer, averaged over the"
        " image.\n"
        f"- `scores`: (B, {len(classifier.told)}): {_SCORES[task]}.\n\n"
        "The file's metadata says the same to programs."
    )


def _data(classifier: Classifier) -> str:
    data, task = classifier.data, classifier.task
    return (
        f"- Images: {_DATA[task]} ({data.name}), {classifier.trained_on:,} with labels trained"
        " on.\n"
        f"- Licence: {LICENCES[f'vae-{task.value}']}.\n"
        f"- Held out, never trained on: {HELD_OUT_RULES[data.held_out_rule]}"
        f" ({classifier.held_out:,} with labels).\n"
        f"- sha256 over the pixels: `{data.digest}`."
    )


def _training(name: str, classifier: Classifier) -> str:
    loss = "softmax" if classifier.task is FeatureTask.CIFAR10 else "sigmoid"
    return (
        f"- {classifier.epochs} epochs in batches of {BATCH}, seed {classifier.seed}; AdamW,"
        f" cosine schedule, {loss} cross entropy, float32.\n"
        f"- Images are mirrored at random, and shifted by up to {SHIFT} pixels each way.\n\n"
        "```\n"
        f"graftscope train-classifier {classifier.task.value} --data {classifier.data.name}"
        f" --out {name}.onnx --epochs {classifier.epochs} --seed {classifier.seed}\n"
        "```"
    )


def _told(classifier: Classifier) -> str:
    what = "class" if classifier.task is FeatureTask.CIFAR10 else "attribute"
    rows = "\n".join(
        f"| {each.name} | {each.held_out:,} | {each.accuracy:.3f} |" for each in classifier.told
    )
    return (
        f"{_MEASURE[classifier.task]} Mean: {classifier.accuracy:.3f}.\n\n"
        f"| {what} | images | accuracy |\n| --- | --- | --- |\n{rows}"
    )


def _limits(classifier: Classifier) -> str:
    lines = [
        "It judges what generators make, and is for nothing else. It says what a small network"
        " sees, not what people would."
    ]
    if classifier.task is FeatureTask.CELEBA:
        lines.append(
            "The labels are the data set's, with its errors and its biases: what it calls"
            " attractive, or male, are people's opinions of photographs of celebrities. Do not use"
            " it on photographs of people."
        )
    return "\n".join(f"- {line}" for line in lines)
