"""The Abilene backbone for Mininet.

``./run mn --custom topologies/abilene.py --topo abilene`` with a controller running beside it
(``./run controller``, or ``ryu-manager controller/app.py``). ``--topo abilene,rate=10`` sets the
fastest link's rate in Mb/s; ``--topo fabric,geant`` takes any topology by name or file.
"""

from functools import partial

from topologies.fabric import FabricTopo

topos = {"abilene": partial(FabricTopo, "abilene"), "fabric": FabricTopo}
