"""Cameras and depth from optical flow alone."""
