"""Physics of the park, vectorised: one class a kind of equipment, one array element a piece of equipment."""
