"""Fused kernels: compiled where that is asked for and possible, and with the same results."""

import logging

import pytest
import torch

from worldvla.training.fusion import fused, fusing, is_fusing


@pytest.fixture
def compilations(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: asked.append(options) or function)
    return asked


def test_nothing_is_compiled_unless_asked_for(compilations):
    double = fused(lambda x: 2 * x)
    assert double(3) == 6
    with fusing(False):
        assert double(3) == 6
    assert compilations == []


def test_a_function_is_compiled_once_for_the_shapes_it_meets(compilations):
    double = fused(lambda x: 2 * x)
    with fusing(True):
        assert is_fusing() and double(3) == 6 and double(4) == 8
    assert not is_fusing()
    assert compilations == [{"dynamic": False}]


def test_without_a_compiler_everything_runs_as_it_is_and_says_so(compilations, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    double = fused(lambda x: 2 * x)
    with caplog.at_level(logging.WARNING), fusing(True):
        assert not is_fusing() and double(3) == 6
    assert "no-such-compiler" in caplog.text
    assert compilations == []
