"""Rule packs, one dated data file per country, written to be read by a compliance officer."""
