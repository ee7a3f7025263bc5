"""The networks that compute features, by the library that has them: torchvision, timm or OpenCLIP."""
