"""One Brain for each task, the entry of a recipe, and loading what was trained."""

from speechkit.tasks.asr import ASR
from speechkit.tasks.classification import Classification, Classifier, Prediction
from speechkit.tasks.entry import check_build, describe_build, main
from speechkit.tasks.evaluate import evaluate_run
from speechkit.tasks.find_lr import find_learning_rate
from speechkit.tasks.folds import run_folds
from speechkit.tasks.language_modeling import LanguageModel, LanguageModeling
from speechkit.tasks.load import classify_file, load
from speechkit.tasks.recognizer import Recognizer, Transcription
from speechkit.tasks.separate import SeparatedFile
from speechkit.tasks.separation import Separation
from speechkit.tasks.separator import Separator
from speechkit.tasks.trained_lm import TrainedLM
from speechkit.tasks.tune import tune_run
from speechkit.tasks.tuned import read_tuned
from speechkit.tasks.windows import WindowPlan

__all__ = [
    "ASR",
    "Classification",
    "Classifier",
    "LanguageModel",
    "LanguageModeling",
    "Prediction",
    "Recognizer",
    "SeparatedFile",
    "Separator",
    "Separation",
    "TrainedLM",
    "Transcription",
    "WindowPlan",
    "check_build",
    "classify_file",
    "describe_build",
    "evaluate_run",
    "find_learning_rate",
    "load",
    "main",
    "read_tuned",
    "run_folds",
    "tune_run",
]
