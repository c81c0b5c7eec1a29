FROM python:3.11-slim
COPY tests/support/model_stand_in.py /model_stand_in.py
CMD ["python", "-u", "/model_stand_in.py"]
