from ._circuit import Circuit as Circuit
from ._circuit import hill as hill
from ._corrupt import corrupt_prior as corrupt_prior
from ._corrupt import shuffle_prior as shuffle_prior
from ._grn import grn_dynamics as grn_dynamics
from ._paired import paired as paired
from ._sergio import sergio as sergio
