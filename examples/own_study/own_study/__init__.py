"""A study of one's own, all of it outside `inpaint`: networks, loss, features, energy, data, holes, measure."""
