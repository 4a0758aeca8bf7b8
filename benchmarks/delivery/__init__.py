"""Benchmarks of image-delivery."""
