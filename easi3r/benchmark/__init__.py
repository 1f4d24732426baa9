"""Measurements behind every figure we publish: python -m easi3r.benchmark examples|alignment|network|long"""
