"""``topicgen serve``: requests in, topics and themes out, over HTTP."""
