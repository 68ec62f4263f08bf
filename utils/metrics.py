"""The name by which users of the 2018 code import the metrics."""

from utils.score.metrics import confusion, iou, iou_stats, mean, pixel_accuracy

__all__ = ['confusion', 'iou', 'iou_stats', 'mean', 'pixel_accuracy']
