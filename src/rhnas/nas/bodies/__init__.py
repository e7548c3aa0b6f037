"""What a supernet runs between the picture and the features, one module per family of spaces."""
