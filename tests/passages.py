"""Short texts of many kinds and lengths, written for the tests."""

PASSAGES = [
    "Glaciers lose mass faster when their surface darkens with soot.",
    "The bakery on the corner sells rye bread on Fridays, and the queue reaches the bus stop by seven.",
    "We propose a loss for neural networks that ignores mislabelled images. On three data sets it lowers the error "
    "of a residual network by two points, without a change to the optimiser.",
    "How do I stop my tomato plants from wilting in the afternoon? They get six hours of sun and water every morning.",
    "The council approved a budget of four million for the repair of bridges, the largest sum in ten years.",
    "Bees.",
    "Rainfall in the valley fell by a third since 1990, while the demand of farms for water doubled.",
    "A bicycle chain stretches as its pins wear. Replace it before the sprockets take on its shape.",
    "Graph networks pass messages along edges. When graphs are deep, the features of all nodes become alike; we show "
    "that a random drop of edges slows this down, give a bound on its rate, and measure it on citation networks.",
    "Sheep were moved to the upper meadows in June. The shepherd stayed with them in a stone hut until September.",
    "My cat refuses the new food. Should I mix it with the old one, or wait until she is hungry?",
    "Shares of the shipping company rose five percent after it reported higher profits for the third quarter.",
    "The library will open on Sundays from ten to four. Volunteers are asked to write their name on the list.",
    "Sodium reacts with water under release of hydrogen and heat; small pieces melt into a ball and race about.",
    "To install the update, close all windows, run the program as administrator, and restart the computer.",
    "Quantum dots of cadmium selenide glow in a colour that depends on their size.",
    "The orchestra played the slow movement as if each note had to be asked twice to come out.",
    "A flat white has less milk than a latte, and its foam is finer.",
    "Patients who walked for thirty minutes a day slept better after eight weeks than those who did not. The study had "
    "two hundred participants, aged fifty to seventy, and measured sleep with a wrist band rather than a diary.",
    "Trains between the two cities are cancelled until Monday because of a landslide near the tunnel.",
    "Language models repeat phrases from their training text. We count such phrases with a suffix array over four "
    "billion words, and find that long ones come from licences, recipes and prayers. Deduplication halves them.",
    "An old clock needs oil every five years.",
    "The new phone has a battery that lasts two days and a camera that sees in the dark.",
    "Whales sing to each other over hundreds of kilometres, and the songs change from year to year.",
    "Reinforcement learning agents that imagine the next ten steps need fewer trials to balance a pole.",
    "If the bread does not rise, the yeast was too old, the water too hot, or the kitchen too cold.",
    "Voters in the region will decide in May whether a second airport is built.",
    "Medieval scribes left notes in the margins: complaints about cold, bad ink, and the length of the book.",
    "The proof goes by induction on the number of vertices. Remove a vertex of smallest degree, colour the rest, and "
    "note that at most five colours are taken by its neighbours.",
    "Does anybody know a quiet place to camp near the lake, with fresh water and without a road beside it?",
    "Solar panels on the roofs of schools now make half of the electricity that the schools use. In summer the rest is "
    "sold, and the money pays for the repair of windows. A class of twelve-year-olds reads the meters each week, draws "
    "the curves, and reports when a panel is dirty. Two of the panels broke in a storm and were replaced within a "
    "month; the insurance paid for one of them. Next year, batteries in the cellar will store the surplus of a day.",
    "The goalkeeper saved two penalties, and still his team lost by three goals.",
    "A parser reads tokens from left to right and builds a tree; on an error it skips to the next semicolon.",
    "Ants find short paths because scent fades from the long ones before enough ants renew it.",
    "The museum returned twelve bronze figures to the country they were taken from in 1897.",
    "Inflation slowed to two percent in October, the lowest in three years, as energy became cheaper.",
    "We sequence the genomes of forty wild wheat plants and find genes that protect them from rust.",
    "Knots that sailors use must hold under load, and open with cold hands.",
    "Der Fluss trat im April über die Ufer und überschwemmte die Wiesen bis zum Bahndamm.",
    "El precio del aceite de oliva subió por segundo año a causa de la sequía.",
    "In a survey of nine hundred nurses, one in four said that forms take up more of the shift than patients do.",
    "x = [n * n for n in range(10)]",
]
