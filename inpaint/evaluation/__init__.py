"""How good a filled picture is: measures, galleries and the results folder."""
