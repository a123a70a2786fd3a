"""The parts of scripts/train_storybook.py."""
