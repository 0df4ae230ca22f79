"""How our processes talk to each other, reach each other, and are kept from a silent end."""
