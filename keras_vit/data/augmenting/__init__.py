"""Random changes of training images, of one picture and of whole batches."""
