"""What the command line, the page and notebooks use beside the public functions of `api`.

They have checked the settings already, so they call the commands themselves. Nothing here is
public: it may change.
"""

from pseudoword.benchmark.comparison import compare as compare
from pseudoword.commands.evaluate import evaluate_word as evaluate_word
from pseudoword.commands.generate import draw_files as draw_files
from pseudoword.commands.generate import draw_pictures as draw_pictures
from pseudoword.commands.generate import load_base as load_base
from pseudoword.commands.prepare import prepare_pictures as prepare_pictures
from pseudoword.commands.work import work_through as work_through
from pseudoword.config.schedulers import by_usual_name as by_usual_name
from pseudoword.data.images import decode as decode
from pseudoword.data.images import open_picture as open_picture
from pseudoword.data.picture_files import CAPTION_SUFFIXES as CAPTION_SUFFIXES
from pseudoword.data.picture_files import COMPANION_ENDINGS as COMPANION_ENDINGS
from pseudoword.data.picture_files import MASK_ENDINGS as MASK_ENDINGS
from pseudoword.fleet.view import HOUR as HOUR
from pseudoword.fleet.view import done_since as done_since
from pseudoword.fleet.view import reasons as reasons
from pseudoword.fleet.view import words_an_hour as words_an_hour
from pseudoword.formats import WRITERS as WRITERS
from pseudoword.formats import encode as encode
from pseudoword.formats import read_all as read_all
from pseudoword.formats import read_bytes as read_bytes
from pseudoword.formats import with_token as with_token
from pseudoword.formats.infotext import KARRAS as KARRAS
from pseudoword.formats.infotext import SCHEDULE as SCHEDULE
from pseudoword.formats.infotext import read_infotext as read_infotext
from pseudoword.formats.keys import families_of as families_of
from pseudoword.formats.layers import adapted as adapted
from pseudoword.models.compute.device_memory import free_memory as free_memory
from pseudoword.models.toward import init_words as init_words
from pseudoword.report.charts import curves as curves
from pseudoword.report.grids import fit_within as fit_within
from pseudoword.report.grids import grid as grid
from pseudoword.report.picture_output import encode_picture as encode_picture
from pseudoword.report.word_sheet import previews_with as previews_with
from pseudoword.runs.interrupt import STOPPING as STOPPING
from pseudoword.runs.planned import Options as Options
from pseudoword.runs.requests import ask as ask
from pseudoword.runs.runner import check as check
from pseudoword.runs.runner import learn as learn
from pseudoword.runs.runner import shared as shared
from pseudoword.runs.time_plan import LEARNING as LEARNING
from pseudoword.runs.time_plan import last_step as last_step
from pseudoword.training.memory_plan import plan_memory as plan_memory
