"""Comments to a tree of topics: stages in modules, one class that composes them.

    Clusterer(options).cluster(comments, embeddings, classifications, taxonomy, progress) -> Clustering
    place(clustering, comments, embeddings, classifications, taxonomy)       -> Clustering   new comments join
    edited(clustering, edits, texts)                                         -> Clustering   edits, replayed on the tree
    compare(clustering, attribute)                                           -> Comparison

To undo an edit, keep the tree as it was made and the list of edits, and replay one less. When comments join, place them
in the tree as it was made, and replay the edits.
"""
