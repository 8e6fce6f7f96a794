"""What is asked: points, boxes, masks and phrases. Never imports results."""
