"""The analyses that there are: of each, its request and its result."""

from typing import TypeAlias

from graftscope.client.values._influence import InfluenceResult, InfluenceTask, LayersResult
from graftscope.client.values._magnitude import MagnitudeResult, MagnitudeTask
from graftscope.client.values._modules import ModulesResult, ModulesTask
from graftscope.client.values._stability import StabilityResult, StabilityTask

Task: TypeAlias = InfluenceTask | ModulesTask | StabilityTask | MagnitudeTask

HybridTask: TypeAlias = InfluenceTask | MagnitudeTask
"""A task that makes hybrids, whose cost the server estimates."""

AnalysisResult: TypeAlias = (
    InfluenceResult | LayersResult | ModulesResult | StabilityResult | MagnitudeResult
)
"""Whatever an analysis answers."""
