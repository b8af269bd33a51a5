"""The report: one HTML file that explains a generator's modules, and its pictures as PNGs.

It must not know gRPC, the client or a server: `ReportData` in, files out. Importing it needs numpy
and Pillow alone; matplotlib and Jinja2, of the extra ``report``, are imported by `render_report`.
"""

from graftscope.client.report._data import ByHand, Consistency, LayerSection, Provenance, ReportData
from graftscope.client.report._findings import LayerFindings, region_change, report_data
from graftscope.client.report._found_worth import WorthFindings
from graftscope.client.report._render import page_style, render_report
from graftscope.client.report._zones import Place, describe_template, locate_template

__all__ = [
    "ByHand",
    "Consistency",
    "LayerFindings",
    "LayerSection",
    "Place",
    "Provenance",
    "ReportData",
    "WorthFindings",
    "describe_template",
    "locate_template",
    "page_style",
    "region_change",
    "render_report",
    "report_data",
]
