"""Every error that a caller may meet: the branches of the tree are in `kinds`, its leaves in a file for each topic."""

from image_core.errors.analyses import *
from image_core.errors.identity import *
from image_core.errors.images import *
from image_core.errors.kinds import *
from image_core.errors.parts import *
from image_core.errors.people import *
from image_core.errors.quotas import *
from image_core.errors.requests import *
