"""The contract's names of methods, and the analyses'."""

from graftscope.v1 import analysis_service_pb2

METHODS = {
    "nmf": analysis_service_pb2.METHOD_NMF,
    "kmeans": analysis_service_pb2.METHOD_KMEANS,
    "pca": analysis_service_pb2.METHOD_PCA,
    "spectral": analysis_service_pb2.METHOD_SPECTRAL,
}
"""Every method that is implemented."""
