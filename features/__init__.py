"""Computes visual features of pictures: VGG-19's fc7 layer, or any layer of another torchvision network.

Start reading at `extract.py`.
"""
