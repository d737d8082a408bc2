"""Everything about BN254 G1 under one name: see field.py, group.py and encoding.py."""

from huref_zk.curve.encoding import MONTGOMERY as MONTGOMERY
from huref_zk.curve.encoding import compress as compress
from huref_zk.curve.encoding import decode_raw as decode_raw
from huref_zk.curve.encoding import decode_uncompressed as decode_uncompressed
from huref_zk.curve.encoding import decode_witness as decode_witness
from huref_zk.curve.encoding import decompress as decompress
from huref_zk.curve.encoding import decompress_many as decompress_many
from huref_zk.curve.encoding import encode_raw as encode_raw
from huref_zk.curve.encoding import encode_uncompressed as encode_uncompressed
from huref_zk.curve.encoding import from_ezkl as from_ezkl
from huref_zk.curve.field import Q as Q
from huref_zk.curve.field import R as R
from huref_zk.curve.group import BETA as BETA
from huref_zk.curve.group import GENERATOR as GENERATOR
from huref_zk.curve.group import LAMBDA as LAMBDA
from huref_zk.curve.group import FixedBase as FixedBase
from huref_zk.curve.group import Point as Point
from huref_zk.curve.group import add as add
from huref_zk.curve.group import is_on_curve as is_on_curve
from huref_zk.curve.group import msm as msm
from huref_zk.curve.group import multiply as multiply
from huref_zk.curve.group import negate as negate
from huref_zk.curve.group import split as split
from huref_zk.curve.group import subset_sums as subset_sums
from huref_zk.curve.group import sum_groups as sum_groups
