"""Measurements behind every figure we publish: python -m easi3r.benchmark masks|examples|alignment|network"""
