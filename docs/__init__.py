"""The pages for people, and the script that writes those which follow from the code."""
